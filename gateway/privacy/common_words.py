"""Everyday words that look like names, and words that stand before names; without accents, as `flat` has them."""

# Capitalised or after a cue, and yet no name.
NO_NAME = frozenset(
    """
    i my the a an and or but if so it is are was were be been am not no yes ok okay please thanks thank you your we
    our he she they them his her their this that these those there here what when where who why how which can could
    would should will do does did have has had to from in on at of for with by as about after before because mr mrs
    ms dr sdt stk cccd cmnd cmt mst otp tk dien thoai tai khoan ngan hang email mail phone card account bank number
    name address visa mastercard paypal stripe adyen momo zalo zalopay vnpay napas vietcombank techcombank bidv acb
    vpbank mb mbbank agribank vietinbank sacombank tpbank vcb tcb shopee lazada tiki grab apple google amazon
    facebook instagram iphone android windows monday tuesday wednesday thursday friday saturday sunday january
    february march april may june july august september october november december english vietnamese vietnam viet
    nam american french german euro eur usd vnd gbp atm pin iban swift api url id refund order payment invoice
    customer support service help team bot user agent hi hello dear hey sir madam toi em minh anh chi ban shop ad
    admin ben cho va la co khong duoc roi nhe nha oi da vang ma thi nay kia dang se muon hoi giup xin chao cam quan
    phuong duong huyen tinh thanh pho tp hcm ha noi sai gon hom mai qua british russian euros europe european asia
    asian aud cad sgd jpy chf today yesterday tomorrow top atms one two three last next urgent sepa jan feb mar apr
    jun jul aug sep sept oct nov dec new old premium elite standard first second france china germany spain italy
    poland japan korea america england britain singapore thailand australia canada india russia any some all every
    other more less only just also still already again never always maybe really very much many street road avenue
    lane drive city country club usa uk us eu ceo asap faq pdf office fax mobile date time
    """.split()
)
# First names that are words of every day: alone they speak for nobody.
AMBIGUOUS = frozenset(
    """
    mark may will bill grace hope rose dawn joy faith frank art rob sue pat grant jack ray dan sally don jean max
    miles chase rich drew chance olive iris ivy pearl ruby amber crystal holly heather daisy violet lily summer
    autumn april june august carol harry tony guy dean earl duke sandy rusty ginger basil christian virginia georgia
    paris florence austin jordan madison charlotte sydney victoria lincoln jackson rand an ben ali kim la alexandria
    regina roman noel major price young ball banks barber bell berg bishop black brown burns bush carpenter chandler
    cole cook cox day fisher ford fox freeman gross hale hall hardy hart hill holt horn hunt hunter johnson kemp
    king knight lane lang lee little long lowe mann marsh mason mills moody moss newman park parks pope porter
    potter powers quick reed reid rice ross rowe russell sommer sparks steele stein stone strand sutton taylor
    thornton tucker turner wade walker ward warner waters watts weaver webb wells west wheeler white winter wolf
    wood woods yates baker cooper miller moore smith winters lucky sterling ariel aurora blanc kay mercedes ron russ
    soren stan sunny theo troy una urban melody orlando santiago israel houston washington logan morris harvey
    warren nelson marshall angel dale gail lance leo lou luz matt olle ned pam per pia rene rocco romeo seth trudy
    vega english german lea luis page paige terry bob tim ken chris joe do lan mai ha
    """.split()
)
# Words that begin a sentence; with a name's word behind them they are still no name.
VERBS = frozenset(
    """
    will may bill mark grant hope art chase drew rob sue can do ring pat don per day long little young park ball
    price page
    """.split()
)
# Without accents, these families are everyday words.
VIETNAMESE_WORDS = frozenset(
    """
    tu to la ha cao ho do ong than thai mac kim ly luu dong hong dam phi vien quang cung lai phung
    """.split()
)
VIETNAMESE_TITLES = frozenset(
    """
    anh chị chi cô chú chu bác bac ông ong bà cậu cau thầy thay dì em cháu chau bạn ban sếp sep bé
    """.split()
)
