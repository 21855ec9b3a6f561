"""Names that many people have, from general knowledge. What is an everyday word as well is left out or marked."""

import unicodedata

from gateway.privacy.view import flat

VIETNAMESE_FAMILY = frozenset(
    """
    nguyễn trần lê phạm huỳnh hoàng phan vũ võ đặng bùi đỗ hồ ngô dương lý đinh trương đoàn lâm mai trịnh đào phùng
    tạ tô hà cao châu lương lưu quách tăng vương triệu kiều thái tống nghiêm la ông chu từ đàm thạch kim đường khổng
    mạc doãn bạch hứa quang thân lục âu tiêu văn diệp giang cù ninh viên hồng nông phó bành cung đồng lại tưởng
    """.split()
)
# Families whose name is hardly ever another word: they speak for a name by themselves, even in lower case.
VIETNAMESE_FAMILY_SURE = frozenset(
    """
    nguyễn trần phạm huỳnh hoàng phan đặng bùi trịnh đoàn dương đinh trương lâm
    """.split()
)
VIETNAMESE_MIDDLE = frozenset(
    """
    văn thị hữu đức minh ngọc thanh quốc xuân thu hoài bảo gia anh tuấn kim phương hồng như mỹ diệu thùy thuỳ công
    đình duy khánh nhật quang trọng trung tiến việt vĩnh thế bá cẩm huyền ánh tường tú hải hoàng hà đăng nguyên bích
    lan thảo trúc tố yến thục thiên phúc chí mạnh hùng tấn nam
    """.split()
)
VIETNAMESE_GIVEN = frozenset(
    """
    an anh ánh ân bách bảo bích bình can cảnh châu chi chiến chinh chính chung công cúc cường danh dũng dung duy
    dương duyên đại đan đạt đăng điệp đình định đông đức giang hà hải hân hạnh hạo hằng hảo hậu hiền hiển hiệp hiếu
    hoa hòa hoà hoài hoan hoàn hoàng hoạt hồng huệ hùng huy huyền hưng hương hường hữu kha khải khang khánh khiêm
    khoa khôi khuê kiên kiệt kiều kim kỳ lam lan lâm lân lệ liên liễu linh lĩnh loan lộc lợi long luân luận lương
    lưu ly mai mạnh mẫn mi minh mơ mỹ nam nga ngân nghi nghĩa ngọc nguyên nguyệt nhã nhân nhàn nhật nhi nhiên nhung
    như ninh nương oanh phát phong phú phúc phước phương phượng quân quang quế quốc quý quyên quyền quyết quỳnh sang
    sâm sinh sơn sương tài tâm tân tấn thạch thái thắm thắng thanh thành thảo thạnh thế thi thiên thiện thiệu thịnh
    thoa thơ thơm thu thuận thục thùy thuỳ thủy thuỷ thúy thuý thư thương thy tiên tiến tín tình toàn toản trà trâm
    trang trân trí triết triều trinh trọng trúc trung trường tú tuấn tuệ tùng tuyền tuyết tường uyên vân vi việt
    vinh vĩnh vũ vương vy xuân xuyến yên yến ý
    """.split()
)
WESTERN_FIRST = frozenset(
    """
    aaron abigail adam adrian agnes alan albert alberto alejandro alessandro alex alexander alexandra alexis alfred
    ali alice alicia alison allison amanda amelia amy ana anastasia anders andre andrea andreas andrew andy angela
    angelo angie anita anna anne annie anthony antoine antonia antonio ariana arthur ashley astrid audrey barbara
    beatrice benjamin bernard beth betty beverly blake bob bonnie brandon brenda brett brian bridget bruce bruno
    bryan caleb calvin cameron camilla carl carla carlos carmen caroline carolyn catherine cathy cecilia cedric
    charles charlie charlotte chloe chris christian christina christine christoph christopher cindy claire clara
    claudia colin connor craig cristina curtis cynthia daisy dan dana daniel daniela danielle danny darren dave
    david dawn dean deborah debra denise dennis derek diana diane diego dmitri dominic donald donna doris dorothy
    doug douglas dylan eddie eduardo edward edwin eileen elaine eleanor elena eli elias elijah elisabeth elizabeth
    ella ellen emil emily emma enrique eric erica erik erika erin ernest esther ethan eugene eva evan evelyn fabian
    fatima federico felix fernando fiona florian frances francesca francis francisco frank franz fred frederick
    gabriel gabriela gary geoff geoffrey george gerald gerard giulia giovanni giuseppe gloria gordon graham greg
    gregory greta guillaume gustav hannah hans harold harry hassan heather heidi helen helena helga henri henrik
    henry herbert holly howard hugh hugo ian ibrahim ignacio igor ingrid irene irina isaac isabel isabella ivan
    jackie jacob jacqueline jacques jaime jake james jamie jan jane janet janice jason javier jean jeff jeffrey
    jennifer jenny jeremy jerry jesse jessica jill jim jimmy joan joanna joao joe joel joerg johan johann johannes
    john johnny jon jonas jonathan jorge jose josef joseph joshua joyce juan judith judy julia julian juliana julie
    juliet jürgen justin karen karin karl karla kate katherine kathleen kathryn kathy katie keith kelly ken kenneth
    kevin kimberly klaus kristen kristin kyle larry lars laura lauren laurent lawrence lea leah lena leo leon
    leonard leonardo leslie liam lillian linda lisa lloyd lois lorenzo louis louise luca lucas lucia lucy luigi luis
    luke lydia madison magdalena malcolm manuel marc marcel marcelo marco marcos marcus margaret maria mariana marie
    marilyn mario marion marko markus marta martha martin martina mary mateo mathieu matteo matthew maurice max
    megan mehmet melanie melissa mia michael michel michelle miguel mike mikhail milan mildred mohamed mohammed
    monica monika muhammad nadia nancy natalia natalie natasha nathan neil nicholas nicolas nicole nigel nikolai
    nina noah noel nora norman oleg oliver olivia olga omar oscar otto pablo paige pamela patricia patrick paul
    paula paulo pedro peggy penelope peter petra phil philip philipp philippe pierre rachel rafael ralph ramon randy
    raphael raul raymond rebecca regina renate ricardo richard rick rita rob robert roberta roberto robin rodrigo
    roger roland roman ronald rosa rosalie rosemary ross roy ruben russell ruth ryan sabine sabrina sally sam
    samantha samuel sandra sara sarah scott sean sebastian serge sergei sergio shane shannon sharon shawn sheila
    shirley silvia simon simone sofia sonia sophia sophie stefan stefano stella stephanie stephen steve steven
    stuart sue susan susanne suzanne sven svetlana sylvia tamara tania tanya tara tatiana ted teresa terry theodore
    theresa thomas tiffany tim timothy tina todd tom tomas tommy toni tony tracy travis tyler ulrich ursula
    valentina valerie vanessa vera veronica vicki victor victoria vincent viola virginia vivian vladimir walter
    wanda wayne wendy werner william wolfgang xavier yolanda yusuf yvonne zachary zoe abby abraham ada adela adele
    adeline adriana agatha agnieszka aileen aisha alana albina aldo alejandra alessandra alfonso alfredo alisha alma
    alonso alvin alyssa amalia amir anette angelica angelina anika anja anneke annette antoinette antonina anton
    april ariel arlene armando arnold arno arturo athena august augusta aurelia aurora axel bartholomew beata
    beatriz bela belinda benedict benedikt benita bennie bernardo bernd bertha bianca birgit bjorn bogdan bonita
    boris brad bradley brendan brent brigitte britney brittany brock bryce burton byron camille camillo candace
    candice carina carly carmela carole carolina carrie cassandra cassie catalina cecile celeste celia celine chad
    chantal charlene chelsea cheryl chester chiara christa christie clarence clarissa claude claudio clemens
    clifford clinton clyde cody colette colleen conrad constance cora cordelia corey cornelia cory courtney cyril
    dagmar dale damian damien daphne darius darlene darrell darryl delia della desiree detlef dexter dieter dimitri
    dolores domenico dominik dominique dora doreen dorian dorothea dragan drago duane duncan dustin earnest ebony
    edgar edith edmund edna edouard eduard edwina egon elbert eleanora eleonora eliot elisa elise eliza elliot
    elliott ellis elmer elsa elsie elvira emanuel emanuela emile emilia emilie emilio emmanuel enrico enzo ernesto
    ernst erwin esmeralda esteban estelle ethel etienne eugenia eunice evangeline everett fabio fabrice felicia
    felicity ferdinand fernand filip filippo flavia flora florence floyd francine francois françois françoise franco
    franziska frederic frederik fredrik freya frida friedrich fritz gail gareth garrett gaspar gaston genevieve
    georg georges georgina geraldine german gertrude gianni gilbert gilda gina gino giorgio giovanna gisela gladys
    glenda glenn gottfried grazia gregor griselda guadalupe gudrun guido guillermo gunnar gunther gwen gwendolyn
    hakan hal halina hanna hanne hannelore harriet harrison harvey hattie hector hedwig heike heinrich heinz hendrik
    henriette herman hermann hilary hilda hilde horst hubert humphrey ida ike ilona ilse imogen inez inge ingeborg
    inger irma irving isabelle isaiah isidor ismael israel istvan iva ivana iwan jacek jackson jacinta jadwiga jakob
    jakub jamal jana janette janine janos jared jasmin jasmine jeanette jeanne jenna jens jeremiah jermaine jerome
    jessie jesus joachim joann joanne joaquin jocelyn jodie joella johanna johnnie jolanda jolene josefina josefine
    josephine josie jovan joy juanita judit julien juliette julio julius june jutta kaitlyn kai kari karina karol
    karolina kasper katarina katarzyna katelyn katharina kathrin katja katrin kay kayla kelsey kendra kenny kerry
    kerstin kim kirk kirsten kirsty klara knut konrad krista kristina kristine kristoffer kristopher kristy krystyna
    kurt lambert lana lance landon laszlo latoya laurence laurie lauri laverne leanne lee leif leila leland lenore
    leona leonie leopold leroy leticia levi lewis libby lidia lieselotte lila lili lina lindsay lindsey linus lionel
    lisbeth livia ljubica lola lonnie lora lorena loretta lori lorna lorraine lothar lottie lou louisa lourdes lucie
    lucien lucille lucinda luisa lukas luther luz lynda lynette lynn mabel mable mackenzie maddie mads mae magda
    magnus maja manfred manuela mara marcella marcia marcin marek margarita margie margit margot marguerite mariam
    marian mariano maribel marija marilena marina marisa marissa maritza marjorie marlene marlon marlies marsha
    marshall marty marvin maryam mathias mathilde mathilda matilda matt matthias matthieu maureen mauricio mauro
    maxim maxime maximilian maximo maya melinda melody melvin mercedes meredith micah michal michele mickey mikael
    milagros milena miles milos milton mina mindy minnie mirabel miranda mireille miriam mirjam mirko mitchell mitzi
    mohammad moira molly mona monique morgan moritz morris mortimer moses muriel myra myron myrtle nada nadine naomi
    nathalie nathaniel ned nelson nestor nettie nicola nicolai nicolette nikita niklas nikola nils noelle noemi
    nolan norbert noreen norma odette ofelia ola olaf olav olena olen olle ollie omari ophelia orlando orville
    osvaldo oswald otis ottilie pam paolo pascal pascale patrice patrik patsy patti pauline pavel pearl per percy
    perry petar phoebe phyllis pia pietro piotr polly preston priscilla quentin quincy rachelle rainer ramona
    randall raquel ray reba reggie reginald reinhard reinhold rena renata rene renee rhonda ricarda riccardo rickey
    ricky rocco rodney rogelio rolf romeo ron ronda ronnie rory rosalind rosalyn rosanna roscoe rosemarie rosetta
    rosie rowena roxanne royce rudolf rudolph rudy rufus rupert russ rusty sadie salvador salvatore samir sammy
    sandrine sanja santiago sasha saul saverio seamus selena selma serena severin seth shari shaun shelby sheldon
    shelley shelly sherri sherry shirin sibylle siegfried sigrid silke silvio simona simonetta sinead slavica sofie
    solange solomon sondra sonja soren spencer stacey stacy stan stanislav stanley stephan stephane sterling steffen
    stewart stig sture summer sunny susana susie sylvester sylvain sylvie tabitha tadeusz tamsin tatjana taylor
    tessa thea thelma theo theresia therese thierry thorsten tiago tibor tobias tomasz tommaso torsten tracey tricia
    trevor tristan trixie troy trudy tyrone ulf ulla ulrike umberto una urban ursel ute uwe valentin valeria valerio
    vasco vaughn velma verena vernon vicente vickie victorine vidal viktor viktoria vilma vince vincenzo viorel vito
    vittorio vivien vlad wade wallace waltraud warren wendell wesley wilbur wilfred wilhelm willard willem willie
    willy wilma winifred winnie winston wojciech woody yan yannick yasmin yann yves yvette zdenek zelda zenon zofia
    zoltan zora zuzana
    """.split()
)
WESTERN_LAST = frozenset(
    """
    adams alexander allen alvarez anderson andersen andersson armstrong bailey baker barnes bauer becker bennett
    bernard bianchi brooks brown bryant butler campbell carlson carter castillo chavez clark coleman collins colombo
    cooper cruz davies davis delgado diaz dubois dupont durand edwards ellis eriksson esposito evans fernandez
    ferrari fischer fisher fitzgerald flores foster fournier garcia gibson gomez gonzalez gonzales graham griffin
    gutierrez hamilton hansen hansson harris harrison hayes henderson hernandez hoffmann howard hughes ivanov
    jackson jenkins jensen jimenez johansen johansson johnson jones jorgensen kaiser kelley kennedy klein koch
    kowalski larsen larsson laurent lefebvre leroy lindberg lopez marshall martinez mcdonald mendoza meyer miller
    mitchell moore morales moreau moreno morgan morris muller müller murphy murray myers nelson nielsen nilsson
    novak olsen olsson ortiz owens parker patel patterson pedersen perez perry persson peters petersen peterson
    phillips popescu powell ramirez ramos reynolds ricci richards richardson richter rivera robertson robinson
    rodriguez rogers romano romero rossi rousseau ruiz russo sanchez sanders santos schmidt schmitt schneider
    schröder schroeder schubert schulz schultz schwartz schwarz silva simmons simpson smith sorensen stewart
    sullivan svensson taylor thompson torres turner vasquez vogel wagner walker wallace watson weber werner wilson
    wolff wright zimmermann abbott adamson aguilar ahmed albrecht allan almeida alonso alves andreassen arnold
    ashton atkinson austin avila ball banks barber barker barnett barrett barton bates beck bell benson berg berger
    bergman bishop blackwell blair blanc bogdanov bowman boyd bradley brady brandt braun brennan briggs brock
    browning buchanan burgess burke burns burton bush byrne cabrera calderon caldwell cameron cardenas carpenter
    carr carroll castro chambers chandler chapman chen christensen clarke clayton cohen cole connor conti contreras
    conway copeland costa cox craig crawford cunningham curtis cvetkovic dalton daniels davidson dawson day delacruz
    deluca dennis dietrich dixon dominguez donnelly douglas doyle duarte duncan dunn eaton edmonds eklund elliott
    engel english erickson espinoza ewing farrell faulkner ferguson ferreira figueroa fitzpatrick fleming fletcher
    fontaine ford fowler fox francis franklin frazier freeman friedman fuchs fuentes fuller gallagher gallo garner
    garrett george gilbert giordano glover goldberg gonçalves goodman gordon graves greco greene greer griffith
    gross guerra guerrero gunther guzman hahn hale hall hammond hardy harper hart hartmann harvey hawkins haynes
    heinrich henry herbert herman herrera hicks higgins hill hodges hofmann hogan holland holmes holt horn horvat
    horvath houston howell huber hudson hunt hunter jacobs jacobsen james jansen jansson jenssen jovanovic kaufmann
    keller kemp kerr khan kim king kirk knight knudsen kohler kovac kovacs kramer kraus kristensen krüger lambert
    lane lang lange larkin lawrence lawson lee lehmann leonard leone lewis lind lindgren little lloyd logan lombardi
    long lorenz lowe lucas ludwig lund lundgren lynch mack madsen maier mancini mann marchetti mariani marino
    marques marquez marsh martin martini mason mathews matthews maxwell may mccarthy mccoy mcclain mckenzie mclean
    medina melendez mendes mercier meier michel mills molina montgomery moody moran moreira mortensen moser moss
    müllers mueller munoz muñoz navarro neal neumann newman newton nguyen nicholson nieminen norman norris nunez
    nuñez obrien o'brien o'connor oconnor oliver oliveira olson orlando ortega osborne owen pacheco padilla page
    palmer park parks parsons paul paulsen payne pearson pena pereira perkins petit petrov pfeiffer pham pierce
    pinto pires pittman poole pope porter potter powers pratt price quinn ramsey rasmussen reed reese reid reyes
    rhodes ribeiro rice riley rinaldi rios robbins roberts robin robles roche rocha roman rosario rose ross roth
    rowe roy russell ryan salazar salvatore sandoval santana santoro sauer saunders schäfer schaefer schmid scholz
    schreiber schuster schwab scott serrano shaw shelton sherman simon sims singh skinner snyder solberg sommer soto
    sousa sparks spencer stafford steele stein stephens stevens stone strand strickland summers sutton swanson tate
    teixeira terry thomas thomsen thornton todd tran tucker valdez valentine vargas vaughn vega vidal villa vincent
    virtanen vogt wade walsh walter walters walton wang ward warner warren washington waters watkins watts weaver
    webb weiss welch wells west wheeler white wiley wilkins williams williamson willis winter wolf wong wood woods
    wyatt yang yates young zhang ziegler zimmer
    """.split()
)


def spellings(words: frozenset[str]) -> dict[str, frozenset[str]]:
    """Words by what is left of them without accents."""
    grouped: dict[str, set[str]] = {}
    for word in words:
        composed = unicodedata.normalize("NFC", word)
        grouped.setdefault(flat(composed), set()).add(composed)
    return {plain: frozenset(of_plain) for plain, of_plain in grouped.items()}
